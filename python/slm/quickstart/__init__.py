"""The whole road in minutes: text, tokenizer, shards, training, evaluation, samples, report, model directory."""
