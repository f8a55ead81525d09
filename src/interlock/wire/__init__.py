"""What every JSON dialect shares: bodies checked before anything reads them, fields, event streams. Pure."""
