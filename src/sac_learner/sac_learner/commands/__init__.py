"""What the rosac command does, and what it shows the operator."""
