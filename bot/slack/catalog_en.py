"""Every English text that people read in Slack, and the sentences of refusals on the sign-in pages.

A key names its use: `code.<Code>`, `error.<class>`, `status.<Status>`, `effect.<Effect>`, `kind.<Kind>`,
`target.<TargetKind>`, else what it stands on. `….title` has at most 24 characters; a code that titles
no modal has none. In braces: facts that `wording` fills in, already safe for Slack.
"""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    "product": "Passcode reset",
    # What was typed cannot be used
    "code.bad_target": "“{typed}” can’t be looked up. Enter an email address or a serial number, such as "
    "serial:F2LX1234ABCD.",
    "code.no_reason.title": "Reason missing",
    "code.no_reason": "Please add a reason: the other person needs it to know what to do.",
    "code.reason_too_long.title": "Reason too long",
    "code.reason_too_long": "The reason can have up to {limit} characters. Please shorten it.",
    "code.ticket_too_long": "The ticket reference can have up to {limit} characters. Please shorten it.",
    # The person may not
    "code.not_a_member.title": "Not allowed",
    "code.not_a_member": "{kind}",
    "kind.member": "This needs a full member of this workspace.",
    "kind.guest": "Guests can’t request or approve a reset. Ask a full member of this workspace to do it.",
    "kind.bot": "Apps can’t request or approve a reset. A person has to do it.",
    "kind.deactivated": "This Slack account isn’t active, so it can’t request or approve a reset.",
    "kind.outsider": "Only members of this workspace can do this, and this account belongs to another "
    "organization. Ask a colleague here to do it.",
    "code.not_a_requester": "You aren’t on the list of people who can request a reset. Ask a colleague who "
    "is, or ask your Slack admin to add you.",
    "code.not_an_approver.title": "On-call leads only",
    "code.not_an_approver": "Only the on-call leads in the approver channel can do this. Ask one of them.",
    "code.not_the_requester.title": "Not your request",
    "code.not_the_requester": "Only the person who made the request can do this.",
    "code.own_request.title": "Your own request",
    "code.own_request": "You can’t decide on your own request. Ask another on-call lead.",
    "code.own_account.title": "Same person",
    "code.own_account": "Your Microsoft account is the requester’s. Ask another on-call lead to approve it.",
    "code.own_device.title": "Your own device",
    "code.own_device": "{device} is your own device. Ask another on-call lead to approve its reset.",
    "code.quota_exceeded.title": "Limit reached",
    "code.quota_exceeded": "You’ve reached the limit of {limit} per hour. Try again after {until}, or ask a "
    "colleague.",
    "code.could_not_verify.title": "Couldn’t verify",
    "code.could_not_verify": "No usable answer from {what}, so this isn’t verified. Try again in a minute.",
    # The request does not wait for this
    "code.unknown_request.title": "Request not found",
    "code.unknown_request": "This request doesn’t exist. If the reset is still needed, request it again with "
    "`/reset-passcode`.",
    "code.already_decided.title": "Already decided",
    "code.already_decided": "This request is already decided. {decision}",
    "code.not_waiting.title": "Not possible now",
    "code.not_waiting": "This isn’t possible at this stage. The status of the request: {stage}.",
    "code.review_outdated.title": "Request has changed",
    "code.review_outdated": "The request has changed since your review. Press *Approve* again to see it now.",
    "code.request_expired.title": "Request expired",
    "code.request_expired": "This request has expired. If the reset is still needed, it has to be requested "
    "again with `/reset-passcode`.",
    "code.already_requested": "{by} already has a pending request for this ({ref}).",
    "code.already_requested.by_reader": "You already have a pending request for this ({ref}).",
    "code.device_busy.title": "Reset in progress",
    "code.device_busy": "Request {ref} is resetting this device right now. Wait until it is done, or close "
    "it if its outcome is unclear. Then press *Approve* again if a second reset is still needed.",
    # The target or the device
    "code.no_email": "Slack shows no confirmed email address for {person}, so their device can’t be looked "
    "up. Request the reset again with their email address or the serial number of the device.",
    "code.no_device.title": "No device found",
    "code.no_device": "No device found. There may be a typo, or your Intune role may not cover it. Deny with "
    "a note, or ask another approver.",
    "code.device_changed.title": "Device not available",
    "code.device_changed": "The device you chose is not listed any more. Press *Approve* and choose again.",
    "code.recently_reset.title": "Reset again?",
    "code.recently_reset": "This device was already reset {at}. Check with the owner first.",
    "code.recently_reset.android": "This device was already reset {at}. Check with the owner first: the "
    "passcode from that reset will stop working.",
    "code.wrong_platform.title": "Device not supported",
    "code.wrong_platform": "{device} runs {system}. Only Apple and Android phones and tablets can be reset.",
    "code.apple_user_enrollment.title": "Device not supported",
    "code.apple_user_enrollment": "{device} is a personal Apple device with a managed part (User "
    "Enrollment), so Intune can’t remove its passcode. The last resort is Apple’s own recovery, which erases "
    "it.",
    "code.device_administrator.title": "Device not supported",
    "code.device_administrator": "{device} is managed by Android device administrator, which can no longer "
    "reset passcodes. The last resort is to wipe it in Intune, which erases it, and to enroll it again.",
    "code.not_managed.title": "Leaving Intune",
    "code.not_managed": "{device} is being removed from Intune and can’t be reset (state: {state}).",
    # The new passcode
    "code.no_passcode.title": "No passcode available",
    "code.no_passcode": "Intune no longer has a new passcode for this reset. If the owner still can’t get "
    "in, request another reset.",
    "code.reveal_expired.title": "No longer available",
    "code.reveal_expired": "The new passcode can no longer be shown. If the owner still can’t get in, "
    "request another reset.",
    "code.approver_signed_out.title": "Approver signed out",
    "code.approver_signed_out": "The passcode is read with the Microsoft sign-in of {approver}, which has "
    "ended. Ask them to run `/reset-passcode sign-in`, then press *Show passcode* again.",
    # The sign-in
    "code.sign_in_needed.title": "Sign-in needed",
    "code.sign_in_needed": "Sign in with Microsoft first: run `/reset-passcode sign-in`, then try again.",
    "code.link_unusable": "This sign-in link has expired or was already used. Run /reset-passcode sign-in in "
    "Slack for a new one.",
    "code.consent_denied.title": "Sign-in canceled",
    "code.consent_denied": "Sign-in was canceled. Try again, and accept the permissions. If Microsoft asks "
    "for admin approval, contact your Entra admin.",
    "code.entra_error.title": "Sign-in failed",
    "code.entra_error": "Microsoft refused the sign-in ({code}). Try again. If it happens twice, give your "
    "Entra admin this code.",
    "code.wrong_tenant.title": "Wrong organization",
    "code.wrong_tenant": "The account {account} belongs to another organization. Sign in again with "
    "your work account.",
    "code.wrong_account.title": "Wrong account",
    "code.wrong_account": "You signed in as {account}, but your Slack account is {expected}. Sign in again "
    "as {expected}.",
    "code.wrong_account.no_email": "Your Slack profile shows no confirmed email address, so it can’t be "
    "matched with your Microsoft account. Ask your Slack admin to confirm it.",
    "code.guest_account.title": "Guest account",
    "code.guest_account": "The account {account} is only a guest in this organization. Sign in again "
    "with your own work account.",
    "code.account_taken.title": "Account already linked",
    "code.account_taken": "The account {account} is already linked to another Slack user. Sign in again "
    "with your own account, or ask your Slack admin.",
    "code.declined.title": "Sign-in declined",
    "code.declined": "In the browser, the person signed in as {account} said that they are not you. Nothing "
    "was linked. A sign-in link is just for you: don’t share it.",
    "code.no_sign_in_time.title": "Sign-in failed",
    "code.no_sign_in_time": "Microsoft didn’t say when you signed in, so there is no telling whether the "
    "sign-in is fresh. Try again. If it happens twice, contact your Entra admin.",
    "code.stale_sign_in.title": "Sign-in too old",
    "code.stale_sign_in": "The sign-in as {account} is too old. Sign in again, and confirm your identity "
    "when Microsoft asks for it.",
    "code.bad_token.title": "Sign-in failed",
    "code.bad_token": "Microsoft’s answer couldn’t be verified, so you are not signed in. Try again. If it "
    "happens twice, contact your Entra admin.",
    # The request waits again
    "code.sign_in_ended": "The sign-in of {approver} ended before the reset was sent. Nothing was reset.",
    "code.microsoft_refused_approver": "Microsoft didn’t let {account} reset this device{said}. Nothing was "
    "reset. It takes an Intune role with the Reset passcode permission for this device.",
    "code.not_executed": "Microsoft couldn’t be reached or was too busy. Nothing was reset.",
    # The request failed
    "code.microsoft_refused_device": "Microsoft refused to reset this device{said}. Nothing was reset.",
    "code.device_failed": "The device tried to reset its passcode and couldn’t (Intune error {error_code}).",
    "code.not_supported": "The device doesn’t support this. On Android, either no policy requires a "
    "passcode, or the owner never accepted the notice that allows resets.",
    "code.canceled": "The command was canceled in Intune before the device received it.",
    "code.silent": "The device hasn’t answered for too long. It is probably switched off or offline, and may "
    "still be reset when it reconnects.",
    "code.silent.could_not_look": "Intune couldn’t be asked about the device for too long, so it is unclear "
    "whether it was reset. Look it up in Intune, and ask the owner whether the old passcode still works.",
    "code.closed": "Closed by {person}: Microsoft never confirmed the reset, and the device doesn’t show it.",
    # The outcome is uncertain
    "code.no_answer": "No reply from Microsoft: the reset may or may not have been sent.",
    "said": " (Microsoft says: “{message}”)",
    # Everything else that can go wrong
    "error.UnlatchError.title": "Something went wrong",
    "error.UnlatchError": "This didn’t work. Please try again in a minute.",
    "error.LostRace.title": "Request has changed",
    "error.LostRace": "The request changed at the same moment. Look at it again before you try again.",
    "error.StoreUnavailable.title": "Not saved",
    "error.StoreUnavailable": "This couldn’t be saved, so nothing was done. Please try again in a minute.",
    "error.CommitUnknown.title": "Possibly saved",
    "error.CommitUnknown": "It is unclear whether this was saved. Check where the request stands, for "
    "example with `/reset-passcode status`, before you try again.",
    "error.AuditBroken.title": "Audit log stopped",
    "error.AuditBroken": "Nothing was done: the audit log isn’t as it was left, so nothing can be saved "
    "until the operator of Unlatch has checked it. Please tell them.",
    "error.NotExecuted.title": "Microsoft unavailable",
    "error.NotExecuted": "Microsoft is unavailable or too busy. Nothing was done. Try again in a minute.",
    "error.ApproverRefused.title": "Not permitted in Intune",
    "error.ApproverRefused": "Microsoft doesn’t let your account do this{said}. It takes an Intune role with "
    "the Reset passcode permission for this device. Ask your Intune admin or another approver.",
    "error.DeviceRefused.title": "Refused by Microsoft",
    "error.DeviceRefused": "Microsoft doesn’t find the device or refuses this{said}. Check with the "
    "requester whether it is the right device.",
    "error.OutcomeUnknown.title": "No reply from Microsoft",
    "error.OutcomeUnknown": "No usable answer from Microsoft{said}. Look at the request again in a minute.",
    "error.SlackUnavailable.title": "Slack is unavailable",
    "error.SlackUnavailable": "Slack is slow or unavailable right now. Please try again in a minute.",
    "error.SlackRefused.title": "Refused by Slack",
    "error.SlackRefused": "Slack refused this ({code}). Please try again. If it happens twice, tell your "
    "Slack admin.",
    "crash.title": "Something went wrong",
    "crash": "Something went wrong on our side. Check where the request stands before you try again. If it "
    "happens twice, give your Slack admin this code: {incident}.",
    # Where a request stands: in a few words; in a sentence; what the requester can do now
    "status.received.title": "checking",
    "status.received": "Checking who made the request. This takes a few seconds.",
    "status.received.next": "I’ll keep this message up to date.",
    "status.refused.title": "declined",
    "status.refused": "Declined. Nothing was reset.",
    "status.pending.title": "waiting for approval",
    "status.pending": "Expires {until}.",
    "status.pending.next": "The on-call leads have been notified. I’ll tell you as soon as one decides.",
    "status.reopened.title": "waiting for approval again",
    "status.reopened": "Expires {until}. Any on-call lead can approve it again.",
    "status.reopened.next": "I’ll tell you as soon as an on-call lead decides.",
    "status.approved.title": "approved",
    "status.approved": "Approved by {by} {at}. Sending the reset to Microsoft.",
    "status.approved.next": "Ask the owner to keep the device on and online.",
    "status.denied.title": "denied",
    "status.denied": "Denied by {by} {at}. Nothing was reset.",
    "status.denied.next": "Once that is sorted out, you can request the reset again with `/reset-passcode`.",
    "status.withdrawn.title": "withdrawn",
    "status.withdrawn": "Withdrawn by the requester {at}. Nothing was reset.",
    "status.withdrawn.next": "You can request a reset again at any time with `/reset-passcode`.",
    "status.expired.title": "expired",
    "status.expired": "Expired {at}: no on-call lead decided in time. Nothing was reset.",
    "status.expired.next": "If the reset is still needed, contact an on-call lead and request it again with "
    "`/reset-passcode`.",
    "status.sent.title": "sent to the device",
    "status.sent": "Approved by {by} {at} and sent to the device. It will be reset as soon as it is online.",
    "status.sent.next": "Ask the owner to keep the device on and online.",
    "status.done.title": "done",
    "status.done": "Approved by {by} {at}. The device has been reset.",
    "status.failed.title": "failed",
    "status.failed": "Approved by {by} {at}, but the reset failed.",
    "status.failed.next": "Tell an on-call lead.",
    "status.failed.next.apple": "Tell an on-call lead. If another reset doesn’t help, Intune may have an "
    "outdated unlock token. The last resort is to wipe the device in Intune, which erases it.",
    "status.failed.next.android": "Tell an on-call lead. An Intune admin can check that a policy requires a "
    "passcode and that resets are activated on the device. The last resort is to wipe the device in Intune, "
    "which erases it.",
    "status.uncertain.title": "checking the device",
    "status.uncertain": "Approved by {by} {at}. Checking whether the reset went through: no reply from "
    "Microsoft yet. It won’t be sent again automatically.",
    "status.uncertain.next": "Ask the owner whether the old passcode still works, and tell an on-call lead.",
    "status.needs_decision.title": "needs a decision",
    "status.needs_decision": "Approved by {by} {at}. No reply from Microsoft, and the device doesn’t show a "
    "reset. Before you try again, ask the owner whether the passcode still works.",
    "status.needs_decision.next": "Ask the owner whether the old passcode still works, and tell an on-call "
    "lead.",
    "status.closed.title": "closed",
    "status.closed": "Approved by {by} {at}. It is unclear whether the device was reset.",
    "status.closed.next": "Ask the owner whether the old passcode still works. If they are still locked out, "
    "request another reset with `/reset-passcode`.",
    # What a reset does: before; in an option; when it is done; with the passcode on the screen
    "effect.removes_passcode": "The device will have no passcode until the owner sets a new one. Make sure "
    "the owner is holding it.",
    "effect.removes_passcode.short": "removes the passcode",
    "effect.removes_passcode.done": "The device has no passcode now. Ask the owner to set a new one right "
    "away: until then, anyone can open it.",
    "effect.removes_passcode.use": "{device} opens without a passcode.",
    "effect.new_passcode": "The device gets a new temporary passcode, and the old one stops working. The "
    "requester sees the new one and reads it to the owner.",
    "effect.new_passcode.short": "new temporary passcode for the device",
    "effect.new_passcode.done": "New temporary passcode ready. Press *Show passcode*, and read it to the "
    "owner. Available until {until}.",
    "effect.new_passcode.use": "Read it to the owner of {device}. They unlock the device with it, then set "
    "their own passcode.",
    "effect.new_work_profile_passcode": "The work profile gets a new temporary passcode. The phone’s own "
    "lock stays as it is.",
    "effect.new_work_profile_passcode.short": "new temporary passcode, work profile only",
    "effect.new_work_profile_passcode.done": "New temporary passcode for the work profile ready. The phone’s "
    "own lock hasn’t changed. Press *Show passcode*, and read it to the owner. Available until {until}.",
    "effect.new_work_profile_passcode.use": "Read it to the owner of {device}. They open the work profile "
    "with it, then set their own passcode. It doesn’t open the phone’s own lock.",
    "effect.new_passcode_or_profile": "Either the phone or only its work profile gets a new temporary "
    "passcode. Intune doesn’t say which for this kind of enrollment.",
    "effect.new_passcode_or_profile.short": "new temporary passcode, phone or work profile",
    "effect.new_passcode_or_profile.done": "New temporary passcode ready. It unlocks either the phone or its "
    "work profile: press *Show passcode*, and ask the owner to try both. Available until {until}.",
    "effect.new_passcode_or_profile.use": "Read it to the owner of {device}. It unlocks either the phone or "
    "its work profile: they try both, then set their own passcode.",
    # Whose device, in words
    "target.person": "{value}",
    "target.mention": "{person}",
    "target.serial": "Serial number {value}",
    "target.imei": "IMEI {value}",
    "target.name": "Device name {value}",
    "target.id": "Device ID {value}",
    "target.app": "App {value}",
    # Card, receipt, reminder
    "asked": "Requested by {by} {at}.",
    "for": "Reset for",
    "number": "Request",
    "ticket": "Ticket",
    "reason": "Reason",
    "denial": "Reason for denying",
    "device": "Device",
    "runs_as": "Runs as",
    "effect": "*What happens:* {effect}",
    "on_call": "For {groups}.",
    "reminder": "Request {ref} by {by} for {target} is still waiting for approval. It expires {until}.",
    "approve": "Approve",
    "approve.label": "Approve {ref}, {target}: review first",
    "deny": "Deny",
    "deny.label": "Deny {ref}, {target}: give a reason",
    "try_again": "Try again",
    "try_again.label": "Try {ref}, {target} again: review first",
    "give_up": "Close",
    "give_up.label": "Close {ref}, {target}: no further attempt",
    "withdraw": "Withdraw",
    "withdraw.label": "Withdraw request {ref}, {target}",
    "show_passcode": "Show passcode",
    "show_passcode.label": "Show passcode of {ref}, in a window only you see",
    # The form to request a reset
    "ask.title": "Reset a passcode",
    "ask.submit": "Request reset",
    "ask.target": "Person or device",
    "ask.target.hint": "Enter an email address, or serial:, imei:, name: or id: and the value. The approver "
    "sees the matching device before deciding.",
    "ask.target.placeholder": "mei@contoso.com",
    "ask.reason": "Reason",
    "ask.reason.hint": "How did you check that it is the owner? The approver sees this.",
    "ask.ticket": "Ticket reference",
    # The review
    "review.title": "Review the reset",
    "review.submit": "Reset passcode",
    "review.runs_as": "This runs as *{account}* and appears under that name in Intune’s audit log.",
    "review.device": "Device to reset",
    "review.device.placeholder": "Choose a device",
    "review.more": "*More about the device*",
    "review.owner": "Owner",
    "review.system": "System",
    "review.model": "Model",
    "review.serial": "Serial number",
    "review.last_seen": "Last online",
    "review.last_seen.never": "Never. The reset runs when the device connects.",
    "review.last_seen.long_ago": "{at}. The reset runs when the device reconnects.",
    "review.compliance": "Compliance",
    "review.management": "Management",
    "review.personal": "personal",
    "review.corporate": "company-owned",
    "review.unknown": "not known",
    "review.not_possible": "*Not possible:* {why}",
    "review.not_shown": "And {count} more devices.",
    "review.details_left_out": "Details are shown for the first {count} devices.",
    "review.too_many": "{count} devices match, which is too many to choose from. Deny the request, and ask "
    "the requester for a serial number.",
    "again.submit": "Reset it again",
    "again.confirm": "Second reset",
    "again.option": "Reset it again anyway",
    # The other modals
    "loading.title": "One moment",
    "loading.device": "Looking up the device…",
    "loading.request": "Looking up the request…",
    "loading.passcode": "Getting the new passcode…",
    "loading.sign_in": "Preparing your sign-in link…",
    "loading.decision": "Saving your decision…",
    "approved.title": "Approved",
    "approved": "Approved. Follow progress on the card; the requester is kept up to date.",
    "deny.title": "Deny the request",
    "deny.submit": "Deny",
    "deny.reason": "Why are you denying it?",
    "deny.reason.hint": "The requester reads this. Say what they should do instead.",
    "denied.title": "Denied",
    "denied": "Denied. The requester sees your reason.",
    "passcode.title": "New passcode",
    "passcode.spelled": "To read aloud",
    "passcode.logged": "Viewing this passcode is logged. It isn’t kept in Slack: close the window when done.",
    "passcode.capital": "capital {letter}",
    "passcode.small": "small {letter}",
    "sign_in.title": "Sign in",
    "sign_in": "Sign in with your work account: resets you approve run as you, with your own Intune role.",
    "sign_in.signed_in": "You are signed in as {account} until {until}. Sign in again to change the account "
    "or to extend it.",
    "sign_in.claims": "Microsoft asks you to confirm your identity once more. Sign in again.",
    "sign_in.stale": "Every approval needs a fresh sign-in. Sign in again.",
    "sign_in.button": "Sign in with Microsoft",
    "sign_in.label": "Sign in with Microsoft, in your browser",
    "sign_in.link": "This window continues after the sign-in. The link is just for you: it expires in "
    "{minutes} minutes and works once.",
    "signed_in.title": "Signed in",
    "signed_in": "You are signed in as {account}. You can close this window and approve requests now.",
    "signed_in.message": "You are signed in as {account}: resets you approve run as this Microsoft account. "
    "If that wasn’t you, run `/reset-passcode sign-out` now and tell your security team.",
    "close": "Close",
    "cancel": "Cancel",
    "no_modal": "Slack didn’t open the window in time. Please try again.",
    # Answers to the command
    "asked.answer": "Request {ref} sent for {target}. I’ll update you in our direct messages.",
    "recent": "Your latest requests, {limit} at most:",
    "recent.line": "• {ref}, {target}: *{stage}*. {status}",
    "recent.none": "You haven’t requested a reset yet. Start one with `/reset-passcode`.",
    "signed_out": "You are signed out, and your Microsoft tokens are deleted.",
    "signed_out.already": "You weren’t signed in.",
    "help": "*Reset the passcode of a phone or tablet managed by Intune.* An on-call lead approves first.\n"
    "• `/reset-passcode` opens the form\n"
    "• `/reset-passcode mei@contoso.com locked out, on the phone with her` sends a request right away\n"
    '• Instead of an email address: `@mei`, `serial:…`, `imei:…`, `name:"…"`, `id:…` or `app:…`\n'
    "• `/reset-passcode status` shows your latest requests\n"
    "• `/reset-passcode sign-in` and `sign-out` are for on-call leads: resets run as their Microsoft account",
}
