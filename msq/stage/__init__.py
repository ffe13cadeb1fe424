"""Stages: definitions, shuffles, inputs, work orders, destinations. The words of the plan and of its messages."""
