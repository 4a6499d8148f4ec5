"""The pages: views, queries, forms, and the stream of live events."""
