"""The judge: metrics, paired bootstrap, and the simple rivals that BERT must beat."""
