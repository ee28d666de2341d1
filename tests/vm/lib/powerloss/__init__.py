# SPDX-License-Identifier: Apache-2.0
"""The power is cut while the helper applies an update: the disks that may be left, what recovery makes of them."""
