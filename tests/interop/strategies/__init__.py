"""Strategies of hypothesis that make questions, one module for each kind."""
