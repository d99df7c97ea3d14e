"""The English sentences for what can go wrong and what can happen: one table for each closed set.

In braces: facts that `wording` fills in, already safe for Slack.
"""

from collections.abc import Mapping
from typing import Final

from bot.domain import errors
from bot.domain.device import Effect
from bot.domain.errors import UnlatchError
from bot.domain.people import Kind
from bot.domain.request import Status
from bot.domain.why import Code

REFUSALS: Final[Mapping[type[UnlatchError], str]] = {
    errors.UnlatchError: "This did not work. Please try again in a minute.",
    errors.Refusal: "This is not possible.",
    errors.BadInput: "This cannot be used as it is. Please check what you typed.",
    errors.BadTarget: "“{typed}” cannot be looked up. Give an address such as mei@contoso.com, a person "
    "such as @mei, or a device such as serial:F2LXK1ABCD or imei:490154203237518.",
    errors.NoReason: "Please say why: the other side reads it before deciding what to do.",
    errors.ReasonTooLong: "The reason may have {limit} characters. Please shorten it.",
    errors.TicketTooLong: "The ticket reference may have {limit} characters. Please shorten it.",
    errors.NotAllowed: "You may not do this.",
    errors.NotAMember: "{kind}",
    errors.NotARequester: "You are not among the people who may ask for a reset. Ask one of them to file "
    "it, or ask your Slack admin to add you.",
    errors.NotAnApprover: "Only people in {channel} who are on call can decide on this. Ask one of them.",
    errors.OwnRequest: "This is your own request. Somebody else in {channel} has to decide on it.",
    errors.OwnAccount: "The Microsoft account that would carry this out belongs to the person who asked. "
    "Somebody else has to approve it.",
    errors.NotTheRequester: "Only the person who asked can do this.",
    errors.NotNow: "The request does not wait for this any more.",
    errors.UnknownRequest: "This request is not known here. If it is still needed, ask again with "
    "/reset-passcode.",
    errors.AlreadyDecided: "{decision} There is nothing left to decide.",
    errors.NotWaiting: "This does not work now. The state of the request: {state}.",
    errors.TooLate: "The time for this is over. If it is still needed, ask again with /reset-passcode.",
    errors.OwnDevice: "This is your own device. Somebody else in {channel} has to approve its reset.",
    errors.AlreadyAsked: "{by} has asked for this already: request {ref}. Let that one be decided first.",
    errors.DeviceBusy: "Request {ref} is resetting this device just now. Wait until it is done, or close it "
    "if it is unclear; then press Approve again if a second reset is still needed.",
    errors.RecentlyReset: "This device was reset {at}. If that made a passcode, a second reset ends it. Ask "
    "first whether the first one helped.",
    errors.TooOften: "You have done this {limit} times within an hour, which is the limit. Go on after "
    "{until}, or ask somebody else to do it.",
    errors.NoSuchDevice: "Intune shows you no device for this. Either it was mistyped, or your Intune role "
    "does not reach it. Deny it and say what to correct, or let another approver look.",
    errors.ReviewOutdated: "Something has happened to this request since you reviewed it. Press Approve "
    "again, and decide on what it says now.",
    errors.DeviceChanged: "The device that you chose is no longer there. Press Approve again and choose "
    "anew.",
    errors.CannotReset: "{why}",
    errors.NoPasscode: "Intune holds no new passcode for this reset any more. Ask for another reset if the "
    "owner still cannot get in.",
    errors.ApproverSignedOut: "The passcode is read with the Microsoft sign-in of {approver}, and that has "
    "ended. Ask them to type /reset-passcode sign-in, then press Show passcode again.",
    errors.SignInNeeded: "You need to sign in with Microsoft first. Type /reset-passcode sign-in, then try "
    "again.",
    errors.TicketUnusable: "This sign-in link was used before or is too old. Type /reset-passcode sign-in "
    "for a new one.",
    errors.SignInRefused: "{why}",
    errors.CouldNotVerify: "This could not be checked, because there was no usable answer from {what}. "
    "Nothing was changed. Please try again in a minute.",
    errors.LostRace: "Somebody else was a moment faster. Look at the request, and try again if it still "
    "waits.",
    errors.StoreAway: "This could not be saved just now, so nothing was done. Please try again in a minute.",
    errors.GraphError: "Microsoft did not do what it was asked{said}. Please try again in a minute.",
    errors.NeverLeft: "Microsoft could not be reached, or is too busy. Nothing was done. Please try again "
    "in a minute.",
    errors.ApproverRefused: "Microsoft does not let your account do this{said}. It needs an Intune role "
    "with the Reset passcode permission for this device. Ask your Intune admin, or let another approver "
    "decide.",
    errors.DeviceRefused: "Microsoft does not find this or refuses it{said}. Check with the person who "
    "asked whether it is the right device.",
    errors.Unknown: "Microsoft gave no usable answer{said}. Look at the request in a minute to see where it "
    "stands.",
    errors.SlackError: "Slack did not take this. Please try again.",
    errors.SlackAway: "Slack is slow or away just now. Please try again in a minute.",
    errors.CannotShow: "Slack did not take this. Please try again, and tell your Slack admin if it happens "
    "twice.",
}

KINDS: Final[Mapping[Kind, str]] = {
    Kind.MEMBER: "You are a full member of this workspace.",
    Kind.GUEST: "Guests cannot ask for a reset or decide on one. Ask a full member of this workspace to do "
    "it.",
    Kind.BOT: "An app cannot ask for a reset or decide on one. A person has to.",
    Kind.DEACTIVATED: "This Slack account is not active, so it cannot ask for a reset or decide on one.",
    Kind.OUTSIDER: "Only people of this workspace can do this, and this account belongs to another "
    "organisation. Ask somebody who works here.",
}

REASONS: Final[Mapping[Code, str]] = {
    Code.NOT_A_MEMBER: "{kind}",
    Code.NOT_A_REQUESTER: REFUSALS[errors.NotARequester],
    Code.COULD_NOT_VERIFY: "It could not be checked who asked, because there was no usable answer from "
    "{what}. Please ask again in a few minutes.",
    Code.NO_EMAIL: "Slack shows no confirmed e-mail address of {person}, so their device cannot be looked "
    "up. Ask again with their address, or with the device, such as serial:F2LXK1ABCD.",
    Code.ALREADY_ASKED: "{person} has asked for this already, in request {ref}, which is not decided yet. "
    "This second one is not needed.",
    Code.OWN_DEVICE: "{device} is your own device, so somebody else has to approve its reset.",
    Code.WRONG_PLATFORM: "{device} runs {system}. Intune resets the passcodes of Apple and Android phones "
    "and tablets only.",
    Code.APPLE_USER_ENROLLMENT: "{device} is a private Apple device with a managed part (User Enrollment). "
    "Its passcode belongs to the owner alone, and Intune cannot remove it. What is left is Apple’s own "
    "recovery, which erases it.",
    Code.DEVICE_ADMINISTRATOR: "{device} is managed the old way (Android device administrator), where "
    "passcodes can no longer be reset. What is left is to wipe it in the Intune portal and enrol it anew.",
    Code.NOT_MANAGED: "{device} is leaving Intune (state: {state}), so it takes no more commands.",
    Code.SIGN_IN_ENDED: "The Microsoft sign-in of {approver} ended before the reset was sent. Nothing was "
    "reset.",
    Code.MICROSOFT_REFUSED_APPROVER: "Microsoft did not let {account} reset this device{said}. Nothing was "
    "reset. It takes an approver whose Intune role has the Reset passcode permission for it.",
    Code.NEVER_LEFT: "Microsoft could not be reached, or was too busy. Nothing was reset.",
    Code.MICROSOFT_REFUSED_DEVICE: "Microsoft refused to reset this device{said}. Nothing was reset.",
    Code.DEVICE_FAILED: "The device tried and could not do it (Intune’s error code: {error_code}).",
    Code.NOT_SUPPORTED: "The device answered that it cannot do this. On Android, either no policy requires "
    "a passcode, or the owner never accepted the notice that allows resets.",
    Code.CANCELED: "The command was cancelled in Intune before the device carried it out.",
    Code.SILENT: "The device has not answered for too long; it is probably switched off or offline. It may "
    "still carry the reset out when it comes back.",
    Code.CLOSED: "{person} closed it: Microsoft’s answer was lost, and the device shows no reset.",
    Code.NO_ANSWER: "Microsoft’s answer to the reset was lost, so it may or may not have been sent.",
    Code.CONSENT_DENIED: "Microsoft was not given your consent, so you are not signed in. Start again and "
    "accept what Unlatch asks for. If Microsoft asks for an admin, pass it on to your Entra admin.",
    Code.ENTRA_ERROR: "Microsoft refused the sign-in ({code}). Start again, and give your Entra admin this "
    "code if it happens twice.",
    Code.WRONG_TENANT: "The account {account} belongs to another organisation. Start again with your work "
    "account.",
    Code.WRONG_ACCOUNT: "You signed in as {account}, but your Slack profile belongs to {expected}. Start "
    "again and choose that account.",
    Code.GUEST_ACCOUNT: "The account {account} is only a guest in this organisation. Start again with your "
    "own work account.",
    Code.ACCOUNT_TAKEN: "The account {account} is already tied to another Slack user. Start again with your "
    "own account, or ask your Slack admin.",
    Code.DECLINED: "In the browser, somebody who had signed in as {account} said that this link was not "
    "theirs. Nothing was tied to you. A sign-in link is for you only: do not send it to anybody.",
    Code.NO_SIGN_IN_TIME: "Microsoft did not say when you signed in, so it cannot be told whether that is "
    "fresh enough. Start again, and tell your Entra admin if it happens twice.",
    Code.STALE_SIGN_IN: "You were signed in as {account} for too long already. Start again, and prove to "
    "Microsoft anew who you are.",
    Code.BAD_TOKEN: "Microsoft’s answer could not be verified, so you are not signed in. Start again, and "
    "tell your Entra admin if it happens twice.",
}

EFFECTS: Final[Mapping[Effect, str]] = {
    Effect.REMOVES_PASSCODE: "Removes the passcode. The device then opens without one until its owner sets "
    "a new one, so the owner should have it in hand.",
    Effect.NEW_PASSCODE: "Sets a new temporary passcode for the whole device. The old one stops working. "
    "The requester sees the new one and reads it to the owner.",
    Effect.NEW_WORK_PROFILE_PASSCODE: "Sets a new temporary passcode for the work profile only. The phone’s "
    "own lock stays as it is.",
    Effect.NEW_PASSCODE_OR_PROFILE: "Sets a new temporary passcode, either for the whole phone or only for "
    "its work profile. Intune does not say which for this kind of enrolment.",
}

EFFECTS_IN_SHORT: Final[Mapping[Effect, str]] = {
    Effect.REMOVES_PASSCODE: "removes the passcode",
    Effect.NEW_PASSCODE: "new temporary passcode, whole device",
    Effect.NEW_WORK_PROFILE_PASSCODE: "new temporary passcode, work profile only",
    Effect.NEW_PASSCODE_OR_PROFILE: "new temporary passcode, phone or work profile",
}

STATES: Final[Mapping[Status, str]] = {
    Status.RECEIVED: "being checked",
    Status.REFUSED: "not accepted",
    Status.PENDING: "waiting for an approver",
    Status.APPROVED: "approved, being sent",
    Status.DENIED: "denied",
    Status.WITHDRAWN: "withdrawn",
    Status.EXPIRED: "expired",
    Status.SENT: "sent, waiting for the device",
    Status.DONE: "done",
    Status.FAILED: "failed",
    Status.UNCERTAIN: "unclear whether it was sent",
}

STATUSES: Final[Mapping[Status, str]] = {
    Status.RECEIVED: "It is being checked who asked. This takes a few seconds.",
    Status.REFUSED: "It was not accepted. Nothing was reset.",
    Status.PENDING: "It waits for an approver until {expires}.",
    Status.APPROVED: "{by} approved it {decided}. The reset is on its way to Microsoft.",
    Status.DENIED: "{by} denied it {decided}. Nothing was reset.",
    Status.WITHDRAWN: "{by} took it back {decided}. Nothing was reset.",
    Status.EXPIRED: "Nobody decided in time, so it expired {changed}. Nothing was reset.",
    Status.SENT: "{by} approved it {decided}. Microsoft has accepted the reset, and the device carries it "
    "out as soon as it is online.",
    Status.DONE: "{by} approved it {decided}, and the device has carried it out.",
    Status.FAILED: "{by} approved it {decided}, but the reset failed {changed}.",
    Status.UNCERTAIN: "{by} approved it {decided}, but Microsoft’s answer was lost. The device is being "
    "asked whether the reset arrived. Nothing is sent twice by itself.",
}
NEEDS_A_HUMAN: Final = (
    "{by} approved it {decided}, but Microsoft’s answer was lost, and the device shows no reset. Ask the "
    "owner whether the passcode still works before you try again."
)

DECISIONS: Final[Mapping[Status, str]] = {
    Status.RECEIVED: "It is still being checked.",
    Status.REFUSED: "It was not accepted, {decided}.",
    Status.PENDING: "It waits for an approver.",
    Status.APPROVED: "{by} approved it {decided}.",
    Status.DENIED: "{by} denied it {decided}.",
    Status.WITHDRAWN: "{by} took it back {decided}.",
    Status.EXPIRED: "It expired {decided}.",
    Status.SENT: "{by} approved it {decided}, and it was sent.",
    Status.DONE: "{by} approved it {decided}, and it is done.",
    Status.FAILED: "{by} approved it {decided}, but it failed.",
    Status.UNCERTAIN: "{by} approved it {decided}.",
}

NEXT: Final[Mapping[Status, str]] = {
    Status.RECEIVED: "This message changes as things happen.",
    Status.REFUSED: "If something was mistyped, ask again with /reset-passcode.",
    Status.PENDING: "The approvers in {channel} have been told. This message changes as soon as one decides.",
    Status.APPROVED: "Ask the owner to keep the device switched on and online.",
    Status.DENIED: "You can ask again with /reset-passcode when that is sorted out.",
    Status.WITHDRAWN: "Ask again with /reset-passcode whenever you need to.",
    Status.EXPIRED: "If it is still needed, ask again with /reset-passcode, and tell an on-call lead.",
    Status.SENT: "Ask the owner to keep the device switched on and online.",
    Status.DONE: "",
    Status.FAILED: "Tell an on-call lead what you see here.",
    Status.UNCERTAIN: "Ask the owner whether the old passcode still works, and tell an on-call lead.",
}

AFTER: Final[Mapping[Effect, str]] = {
    Effect.REMOVES_PASSCODE: "The passcode is gone. Ask the owner to open the device now and set a new "
    "passcode: until then anybody can open it.",
    Effect.NEW_PASSCODE: "There is a new temporary passcode for the device. Press Show passcode, and read "
    "it to the owner. It can be shown for a limited time.",
    Effect.NEW_WORK_PROFILE_PASSCODE: "There is a new temporary passcode for the work profile; the phone’s "
    "own lock is as it was. Press Show passcode, and read it to the owner. It can be shown for a limited "
    "time.",
    Effect.NEW_PASSCODE_OR_PROFILE: "There is a new temporary passcode, for the phone or only for its work "
    "profile. Press Show passcode, and let the owner try both. It can be shown for a limited time.",
}

USES: Final[Mapping[Effect, str]] = {
    Effect.REMOVES_PASSCODE: "{device} opens without a passcode.",
    Effect.NEW_PASSCODE: "Read it to the owner of {device}. They unlock the device with it, then set a "
    "passcode of their own.",
    Effect.NEW_WORK_PROFILE_PASSCODE: "Read it to the owner of {device}. They open the work profile with "
    "it, then set a passcode of their own. It does not open the phone’s own lock.",
    Effect.NEW_PASSCODE_OR_PROFILE: "Read it to the owner of {device}. It opens the phone, or only its work "
    "profile: they try both, then set a passcode of their own.",
}
