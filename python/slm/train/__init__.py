"""Training: the loop, the step, and what each is made of."""
