"""BERT that reads what a user did: texts, tokens, network, fine-tuning, cached embeddings."""
