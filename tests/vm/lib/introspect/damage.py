# SPDX-License-Identifier: Apache-2.0
"""Hostile memory: bits of a real image turned over must end in an answer or an error."""
import os
import random
import subprocess

PAGE = 4096
# How many bits each round turns over in the pages that the guest uses.
FLIPS = (1, 100, 10000)
TIMEOUT_S = 20


def used_pages(image):
    """Offsets in the file of pages that are not all zero."""
    pages = []
    with open(image, "rb") as file:
        offset = 0
        while block := file.read(PAGE):
            if len(block) == PAGE and block.count(0) != PAGE:
                pages.append(offset)
            offset += PAGE
    return pages


def flip_bits(file, bits):
    for offset, bit in bits:
        byte = os.pread(file, 1, offset)[0]
        os.pwrite(file, bytes([byte ^ 1 << bit]), offset)


def damage(dump, image, checks, rounds):
    """The image is as before afterwards."""
    numbers = random.Random(1)
    pages = used_pages(image)
    wrong = []
    file = os.open(image, os.O_RDWR)
    for i in range(rounds):
        bits = list({(numbers.choice(pages) + numbers.randrange(PAGE), numbers.randrange(8))
                     for _ in range(FLIPS[i % len(FLIPS)])})
        flip_bits(file, bits)
        try:
            result = subprocess.run([dump, str(image)], capture_output=True, timeout=TIMEOUT_S)
            if result.returncode not in (0, 1, 3):
                wrong.append(f"round {i}: status {result.returncode} {result.stderr.decode(errors='replace').strip()[-300:]}")
        except subprocess.TimeoutExpired:
            wrong.append(f"round {i}: no end")
        flip_bits(file, bits)
    os.close(file)
    checks.check(f"{rounds} damaged images end in an answer or an error", "; ".join(wrong))
