//! Image sources, format and compression by magic, digests, and the write pipeline.
