"""Adapters: plan -> run. The only room that may import an orchestrator."""
