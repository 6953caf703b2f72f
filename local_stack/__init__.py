"""The embedded stack: PostgreSQL, Valkey, a local AWS, web, worker and beat as child processes of one runner.

Standard library only, except where a function says otherwise: `run.py` imports this before anything is installed.
"""
