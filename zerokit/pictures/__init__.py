"""Pictures in and out: opening what visitors send, masks they draw, and PNG files that say how they were made."""
