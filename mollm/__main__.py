"""`python -m mollm`."""

from mollm.cli import main

if __name__ == "__main__":
    main()
