# SPDX-License-Identifier: Apache-2.0
"""What becomes of the maintainer scripts of packages that nobody chose: see rule.py and doc/oracle.md."""
