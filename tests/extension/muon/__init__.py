"""The muon community's additions to DiracX."""
