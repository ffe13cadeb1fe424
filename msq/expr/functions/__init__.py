"""Declarations of scalar functions and operators, one module a domain; msq.expr.registry loads them all."""
