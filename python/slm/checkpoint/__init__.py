"""What is kept of a model on disk: the directory that tools load, and the checkpoints that training resumes from."""
