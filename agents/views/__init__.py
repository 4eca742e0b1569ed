"""The agent's pages: the desk, and the agent's own calls."""
