"""What a program is, and what each operation is: what it computes, how each target writes it, what memory it shares."""
