"""python -m tests.golden: writes the golden files anew."""

from tests.golden import update

if __name__ == "__main__":
    update()
