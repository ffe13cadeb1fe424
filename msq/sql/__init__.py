"""SQL text to native queries: `statement` reads the text, `bind` resolves its names and types.

sqlglot's tree is the syntax tree here and is seen by nothing outside this package.
"""
