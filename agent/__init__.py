"""The agent: intake, buffer, forward, and the life around them."""

VERSION = "0.1.0"
