"""What comes in: a shop's files become typed, pseudonymised, day-wise Parquet.

The way of a file: found and named (:mod:`landing.receive`), read as text
(:mod:`landing.readers`), translated and checked row by row (:mod:`landing.translation`),
bad rows set aside with every reason (:mod:`landing.quarantine`), good rows written as
Parquet by table and day, and at last one line in the ledger (:mod:`landing.ledger`):
the commit point. What the ledger does not list as accepted does not exist for anyone.

``contracts/`` says what our tables look like, ``shops/<shop>.yml`` how a shop's files
become them.
"""
