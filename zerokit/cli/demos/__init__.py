"""The apps that `zerokit demo` starts; each is a Space like any other."""
