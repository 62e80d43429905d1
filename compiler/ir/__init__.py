"""What a program is: data, no behaviour."""
