"""The use cases: what people and the clock do to a request. Read in the order of its life.

ask       store what was typed; the acknowledgement waits for nothing else
check     who asks, and may they?
review    what an approver sees before deciding
decide    approve, deny, withdraw: one winner
carry_out the one attempt, and what Microsoft answered
follow    ask the device until it is done; look for an attempt whose answer was lost
drive     which of these a due row needs
show      bring Slack up to date with the row
reveal    the new passcode, to the one person who may see it
sign_in   tie a Slack user to an Entra account
leavers   sign out whoever has left
start     what runs, and under which settings
seal      sign where the record ends

Everything here takes a `Desk`: the ports, the rules and the clock.
"""
