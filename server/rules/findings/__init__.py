"""The rules that open findings: one small file each, and one catalogue of all thirty-six."""
