"""The command line: ``psqb``. ``main`` holds the commands; what takes more than a few lines has a module of its own."""
