"""The read models: a folder each, and what is kept about their generations.

A generation is a PostgreSQL schema, `generation_N`, with one table of every read model. `registry.py` lists the read
models, `bookkeeping.py` has the tables that say which generation is served and how far each is, `generations.py` asks
them.
"""
