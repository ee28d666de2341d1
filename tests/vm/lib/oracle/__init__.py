# SPDX-License-Identifier: Apache-2.0
"""The oracle: one copy of a suspended guest is updated offline, another the conventional way; then all is compared."""
