# SPDX-License-Identifier: Apache-2.0
"""The files of /proc that are of the whole system: proc-dump against the guest's own texts."""


def compare_proc_system(checks, truth, files, missing):
    pass
