//! Errors of settlements in a report: each cause once, as `anyhow` and the like print it.

use std::{error::Error, iter};

use ctxhop::clients::{google_cloud_pubsub_1, lapin_4, redis_1};
use google_cloud_pubsub::error::{AckError, PublishError};

#[test]
fn each_cause_is_said_once() {
    let errors: [(Box<dyn Error>, &[&str]); 6] = [
        (
            Box::new(lapin_4::SettleError::Failed(lapin::ErrorKind::ChannelsLimitReached.into())),
            &["the maximum number of channels for this connection has been reached"],
        ),
        (Box::new(lapin_4::SettleError::Refused), &["the delivery was settled before, or its channel is closed"]),
        (
            Box::new(redis_1::SettleError::Failed((redis::ErrorKind::Client, "the cable was cut").into())),
            &["the cable was cut - Client"],
        ),
        (Box::new(redis_1::SettleError::Refused), &["the entry is not pending any more"]),
        (
            Box::new(google_cloud_pubsub_1::SettleError::Settle(AckError::LeaseExpired)),
            &["the message's lease has already expired. It was not acked, and will be redelivered."],
        ),
        (
            Box::new(google_cloud_pubsub_1::SettleError::DeadLetter(PublishError::OrderingKeyPaused)),
            &["the dead letter is not published: publishing is paused for the ordering key"],
        ),
    ];
    for (error, expected) in errors {
        let said: Vec<_> =
            iter::successors(Some(&*error), |error| (*error).source()).map(ToString::to_string).collect();
        assert_eq!(said, expected);
    }
}
