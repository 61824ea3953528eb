//! The mistakes that can be planted, by the part of the core that they are in.

/// Defines the list, and the text of each mistake from its documentation.
macro_rules! mistakes {
    ($($(#[doc = $text:literal])+ $mistake:ident,)+) => {
        /// A mistake in the core. Its documentation says what the core does wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mistake {
            $($(#[doc = $text])+ $mistake,)+
        }

        impl Mistake {
            /// Every mistake.
            pub const ALL: &[Self] = &[$(Self::$mistake,)+];

            /// What the core does wrong, in a sentence.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$mistake => concat!($($text,)+).trim_ascii(),)+
                }
            }
        }
    };
}

mistakes! {
    // Data plane: at the recipient.
    /// A message that the full inbox refuses is acknowledged as delivered.
    AcknowledgedWithoutRoom,
    /// The inbox takes more messages than its limit.
    InboxUnbounded,
    /// The last delivered message of a channel is not recognised when it arrives again.
    LastDeliveryForgotten,
    /// A message is accepted before an older refused one of the other kind (set or broadcast).
    RefusedMessageOvertaken,
    /// A chunk that repeats a part of a large body is written behind that part.
    ChunkAtWrongOffset,
    /// An unfinished large body is kept forever.
    UnfinishedBodyKept,

    // Data plane: at the source.
    /// An acknowledgement counts for one message more.
    AcknowledgementCountsOneMore,
    /// A failure is reported as certain although a copy of the message may be under way.
    UncertainReportedAsCertain,
    /// A canceled send is reported as certainly not delivered, whether it was sent or not.
    CanceledReportedAsCertain,
    /// The report of a send to several recipients leaves out the last one.
    RecipientLeftOutOfReport,
    /// The timer of the sends is not set again after it has expired.
    SendTimerNotRearmed,
    /// The cached route to a recipient is not looked up again after the routes have changed.
    StaleRouteCached,

    // Data plane: at a relay.
    /// A broadcast is forwarded to every neighbour but the one towards its source.
    BroadcastOverEveryLink,
    /// A broadcast is not forwarded over the last link of its tree.
    BroadcastLinkLeftOut,
    /// A relay does not add itself to the route of a message.
    RelayNotRecorded,
    /// A message that was at this node before is forwarded again.
    LoopNotDetected,
    /// A frame must arrive over the expected link as soon as the routes have changed.
    FormerPathsForgotten,
    /// A message may come from any source over any link.
    ReversePathUnchecked,

    // Control plane: routes.
    /// Of several equal paths, half of the nodes take another one than the rest.
    TieBrokenDifferently,
    /// A link is used for routes although only one of its ends announces it.
    OneWayLinkRouted,
    /// A link carries messages before this node has announced it.
    LinkUsedUnannounced,
    /// The routes are not computed anew at once when a link of this node ends.
    DeadLinkRouted,
    /// The application is not told when a node leaves.
    NodeLeftUntold,
    /// The claims of nodes that have failed are not remembered.
    FormerHolderForgotten,
    /// A name belongs to the node with the lower claim.
    NameForTheLowerClaim,
    /// A link to a node that has lost its name is kept.
    NameNotEnforced,

    // Control plane: announcements.
    /// A change of the links that the limits postpone is never announced.
    TrailingAnnouncementDropped,
    /// The end of a link is not announced.
    LinkEndUnannounced,
    /// An announcement is not forwarded over the last link.
    FloodLinkLeftOut,
    /// An older announcement replaces a newer one.
    OlderAnnouncementInstalled,
    /// A peer that offers announcements beside the tree gets no request for them.
    OffersIgnored,
    /// The digest of an announcement leaves out all but its node.
    DigestWithoutContent,
    /// Unreachable nodes stay in the database forever.
    UnreachableNodeKept,

    // Control plane: links.
    /// A node accepts links beyond its degree.
    DegreeIgnored,
    /// A silent link is never closed.
    SilentLinkKept,
    /// No keep-alives are sent once a node has a quiet mesh.
    KeepAlivesStop,
    /// The timer of the keep-alives is set to the current time.
    TimerInThePast,
    /// The end of a database exchange is sent twice.
    SyncedTwice,

    // Closed meshes.
    /// A link under a removed key is never closed.
    RemovedKeyAccepted,
    /// A datagram that is replayed is accepted again.
    ReplayAccepted,
}

impl Mistake {
    /// The mistake with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mistake| mistake.to_string() == name)
    }
}

impl std::fmt::Display for Mistake {
    /// Writes the name, as `name-of-the-mistake`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        f.pad(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_found_by_its_name_and_has_a_text() {
        let mistake = Mistake::AcknowledgedWithoutRoom;
        assert_eq!(mistake.to_string(), "acknowledged-without-room");
        for mistake in Mistake::ALL {
            assert_eq!(Mistake::named(&mistake.to_string()), Some(*mistake));
            assert!(mistake.text().ends_with('.'));
        }
        assert_eq!(Mistake::named("none"), None);
    }
}
