# SPDX-License-Identifier: Apache-2.0
"""Small guests for tests that read a kernel's memory: kernels of every suite, a QEMU, what the guest says of itself."""
