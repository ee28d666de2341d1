# SPDX-License-Identifier: Apache-2.0
"""Cuts: a guest that writes is suspended, what the host makes of its disk is compared with what the woken guest reads."""
