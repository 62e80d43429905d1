"""What a function depends on besides its tensors: the code that ran, and what that code reaches by name."""
