"""Approvers' sign-ins at Microsoft Entra through MSAL, kept in an encrypted vault."""
