"""What is kept on disk of a model: the model directory that tools load, and the checkpoints that training resumes from."""
