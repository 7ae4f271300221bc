"""The proof of a load: `sent.py` counts what goes out, `compared.py` asks the warehouse what of it arrived."""
