"""What a sender changed without a word: columns and types, and what values are like."""
