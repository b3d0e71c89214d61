"""Commands that measure speed and memory, and the peer they are measured against."""
