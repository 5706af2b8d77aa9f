"""The paper's two one-branch networks, their training and their weights files."""
