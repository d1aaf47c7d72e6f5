"""The agent: intake, buffer, forward, and the life around them."""
