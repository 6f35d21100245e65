//! The closed lists of metrics and their names (operations, 3.4).

/// Declares an enum whose variants have names. Every variant's documentation begins with its name.
macro_rules! named {
    ($(#[$about:meta])* $list:ident { $($(#[$doc:meta])* $variant:ident => $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $list {
            $(
                #[doc = concat!("`", $name, "`.")]
                $(#[$doc])*
                $variant,
            )*
        }

        impl $list {
            /// All of them, in the order of their names.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in `mntr` (without `zk_`), in JSON and in exporters.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

named! {
    /// Counters since the start or the last reset.
    Counter {
        AddDeadWatcherStallTime => "add_dead_watcher_stall_time",
        /// Bytes of frames from clients.
        BytesReceivedCount => "bytes_received_count",
        CnxnClosedWithoutZkServerRunning => "cnxn_closed_without_zk_server_running",
        /// Commits made while leading.
        CommitCount => "commit_count",
        /// Client connections closed.
        ConnectionDropCount => "connection_drop_count",
        /// Connections over `maxClientCnxns` or `maxCnxns`.
        ConnectionRejected => "connection_rejected",
        /// Requests for a session, new or again.
        ConnectionRequestCount => "connection_request_count",
        /// Sessions taken up again on this server.
        ConnectionRevalidateCount => "connection_revalidate_count",
        DeadWatchersCleared => "dead_watchers_cleared",
        DeadWatchersQueued => "dead_watchers_queued",
        /// Learners synchronized by transactions.
        DiffCount => "diff_count",
        /// Transactions after which the digest of the tree differed.
        DigestMismatchesCount => "digest_mismatches_count",
        EnsembleAuthFail => "ensemble_auth_fail",
        EnsembleAuthSkip => "ensemble_auth_skip",
        EnsembleAuthSuccess => "ensemble_auth_success",
        InsecureAdminCount => "insecure_admin_count",
        /// Requests refused because too many large ones were in flight.
        LargeRequestsRejected => "large_requests_rejected",
        LearnerCommitReceivedCount => "learner_commit_received_count",
        LearnerProposalReceivedCount => "learner_proposal_received_count",
        /// Entries into election.
        LookingCount => "looking_count",
        /// Nodes with a proposed change that is not applied yet, as they came.
        OutstandingChangesQueued => "outstanding_changes_queued",
        /// The same, as they were applied.
        OutstandingChangesRemoved => "outstanding_changes_removed",
        PrepProcessorRequestQueued => "prep_processor_request_queued",
        /// Proposals made while leading.
        ProposalCount => "proposal_count",
        QuitLeadingDueToDisloyalVoter => "quit_leading_due_to_disloyal_voter",
        RequestCommitQueued => "request_commit_queued",
        RequestThrottleWaitCount => "request_throttle_wait_count",
        RequestsNotForwardedToCommitProcessor => "requests_not_forwarded_to_commit_processor",
        /// Bytes of frames to clients.
        ResponseBytes => "response_bytes",
        ResponsePacketCacheHits => "response_packet_cache_hits",
        ResponsePacketCacheMisses => "response_packet_cache_misses",
        ResponsePacketGetChildrenCacheHits => "response_packet_get_children_cache_hits",
        ResponsePacketGetChildrenCacheMisses => "response_packet_get_children_cache_misses",
        RestoreErrorCount => "restore_error_count",
        RestoreRateLimitedCount => "restore_rate_limited_count",
        RevalidateCount => "revalidate_count",
        /// Connections closed because they opened no session in time.
        SessionlessConnectionsExpired => "sessionless_connections_expired",
        SkipLearnerRequestToNextProcessorCount => "skip_learner_request_to_next_processor_count",
        /// Learners synchronized by an image.
        SnapCount => "snap_count",
        SnapshotErrorCount => "snapshot_error_count",
        SnapshotRateLimitedCount => "snapshot_rate_limited_count",
        StaleReplies => "stale_replies",
        StaleRequests => "stale_requests",
        StaleRequestsDropped => "stale_requests_dropped",
        /// Sessions that expired.
        StaleSessionsExpired => "stale_sessions_expired",
        SyncProcessorRequestQueued => "sync_processor_request_queued",
        ThrottledOps => "throttled_ops",
        TlsHandshakeExceeded => "tls_handshake_exceeded",
        /// Errors that stop the server.
        UnrecoverableErrorCount => "unrecoverable_error_count",
        UnsuccessfulHandshake => "unsuccessful_handshake",
        /// Bytes of watch events sent.
        WatchBytes => "watch_bytes",
    }
}

named! {
    /// Summaries with minimum, maximum, average, count and sum.
    Summary {
        CommitCommitProcReqQueued => "commit_commit_proc_req_queued",
        CommitProcessTime => "commit_process_time",
        ConcurrentRequestProcessingInCommitProcessor => "concurrent_request_processing_in_commit_processor",
        ConnectionTokenDeficit => "connection_token_deficit",
        /// Milliseconds to load the database at the start.
        Dbinittime => "dbinittime",
        /// Milliseconds of an election.
        ElectionTime => "election_time",
        FollowerSyncTime => "follower_sync_time",
        /// Milliseconds of one log sync.
        Fsynctime => "fsynctime",
        InflightDiffCount => "inflight_diff_count",
        InflightSnapCount => "inflight_snap_count",
        /// Milliseconds without a leader.
        LeaderUnavailableTime => "leader_unavailable_time",
        LearnerRequestProcessorQueueSize => "learner_request_processor_queue_size",
        NettyQueuedBufferCapacity => "netty_queued_buffer_capacity",
        /// Watches fired by one change of data.
        NodeChangedWatchCount => "node_changed_watch_count",
        /// Watches fired by one change of a list of children.
        NodeChildrenWatchCount => "node_children_watch_count",
        /// Watches fired by one creation.
        NodeCreatedWatchCount => "node_created_watch_count",
        /// Watches fired by one deletion.
        NodeDeletedWatchCount => "node_deleted_watch_count",
        ObserverSyncTime => "observer_sync_time",
        PendingSessionQueueSize => "pending_session_queue_size",
        PrepProcessTime => "prep_process_time",
        PrepProcessorQueueSize => "prep_processor_queue_size",
        ProposalProcessTime => "proposal_process_time",
        ReadCommitProcIssued => "read_commit_proc_issued",
        ReadCommitProcReqQueued => "read_commit_proc_req_queued",
        ReadsAfterWriteInSessionQueue => "reads_after_write_in_session_queue",
        ReadsIssuedFromSessionQueue => "reads_issued_from_session_queue",
        RequestsInSessionQueue => "requests_in_session_queue",
        /// Milliseconds to restore a snapshot.
        RestoreTime => "restore_time",
        SessionQueuesDrained => "session_queues_drained",
        /// Milliseconds to write a snapshot.
        Snapshottime => "snapshottime",
        SocketClosingTime => "socket_closing_time",
        /// Milliseconds to load the snapshot at the start.
        StartupSnapLoadTime => "startup_snap_load_time",
        /// Milliseconds to replay the log at the start.
        StartupTxnsLoadTime => "startup_txns_load_time",
        /// Transactions replayed at the start.
        StartupTxnsLoaded => "startup_txns_loaded",
        SyncProcessTime => "sync_process_time",
        /// Transactions in one log sync.
        SyncProcessorBatchSize => "sync_processor_batch_size",
        SyncProcessorQueueSize => "sync_processor_queue_size",
        TimeWaitingEmptyPoolInCommitProcessorReadMs => "time_waiting_empty_pool_in_commit_processor_read_ms",
        /// Milliseconds without serving.
        UnavailableTime => "unavailable_time",
        WriteBatchTimeInCommitProcessor => "write_batch_time_in_commit_processor",
        WriteCommitProcIssued => "write_commit_proc_issued",
        WriteCommitProcReqQueued => "write_commit_proc_req_queued",
    }
}

named! {
    /// Summaries that have percentiles as well.
    AdvancedSummary {
        /// Milliseconds to prepare the end of a session.
        CloseSessionPrepTime => "close_session_prep_time",
        CommitPropagationLatency => "commit_propagation_latency",
        DeadWatchersCleanerLatency => "dead_watchers_cleaner_latency",
        JvmPauseTimeMs => "jvm_pause_time_ms",
        LocalWriteCommittedTimeMs => "local_write_committed_time_ms",
        OmCommitProcessTimeMs => "om_commit_process_time_ms",
        OmProposalProcessTimeMs => "om_proposal_process_time_ms",
        PrepProcessorQueueTimeMs => "prep_processor_queue_time_ms",
        /// Milliseconds from preparation to application.
        PropagationLatency => "propagation_latency",
        ProposalAckCreationLatency => "proposal_ack_creation_latency",
        /// Milliseconds from preparation to commit on the leader.
        ProposalLatency => "proposal_latency",
        QuorumAckLatency => "quorum_ack_latency",
        ReadCommitprocTimeMs => "read_commitproc_time_ms",
        ReadFinalProcTimeMs => "read_final_proc_time_ms",
        /// Milliseconds from receipt to answer of a read.
        Readlatency => "readlatency",
        RequestThrottleQueueTimeMs => "request_throttle_queue_time_ms",
        ServerWriteCommittedTimeMs => "server_write_committed_time_ms",
        SyncProcessorQueueAndFlushTimeMs => "sync_processor_queue_and_flush_time_ms",
        SyncProcessorQueueFlushTimeMs => "sync_processor_queue_flush_time_ms",
        SyncProcessorQueueTimeMs => "sync_processor_queue_time_ms",
        /// Milliseconds from receipt to answer of a write.
        Updatelatency => "updatelatency",
        WriteCommitprocTimeMs => "write_commitproc_time_ms",
        WriteFinalProcTimeMs => "write_final_proc_time_ms",
    }
}

named! {
    /// Counters that a reset leaves alone; integrations know them as gauges (operations, 3.4).
    LastingCounter {
        /// Failed authentications.
        AuthFailed => "auth_failed_count",
        /// Log syncs that took longer than `fsync.warningthresholdms`.
        FsyncThresholdExceeded => "fsync_threshold_exceed_count",
        /// Connections without a client certificate from this machine.
        NonMtlsLocal => "non_mtls_local_conn_count",
        /// Connections without a client certificate from elsewhere.
        NonMtlsRemote => "non_mtls_remote_conn_count",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERED: &str = include_str!("../../../../testdata/words/registered-standalone.txt");

    #[track_caller]
    fn check(kind: &str, names: &[&str]) {
        let registered: Vec<&str> = REGISTERED
            .lines()
            .filter_map(|line| line.strip_prefix(kind))
            .collect();
        assert_eq!(names, registered);
    }

    #[test]
    fn every_metric_a_standalone_server_registers_is_here() {
        check("counter ", &Counter::ALL.map(Counter::name));
        check("summary BASIC ", &Summary::ALL.map(Summary::name));
        check(
            "summary ADVANCED ",
            &AdvancedSummary::ALL.map(AdvancedSummary::name),
        );
    }

    #[test]
    fn a_metric_is_its_own_place_in_the_list() {
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, place);
        }
        for (place, counter) in LastingCounter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, place);
        }
    }
}
