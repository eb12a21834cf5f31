//! What the operator's configuration says about leases: where they are given out, and what models cost. No I/O.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use showrunner_ledger::price::{ModelPrice, Prices};

/// The part of the operator's configuration that is about leases. Without it there is no such listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseSettings {
    /// Folder with `tls.crt` and `tls.key`, read again when they change.
    pub tls: PathBuf,
    /// Name of the operator's Service, such as `showrunner.showrunner-system.svc`: each replica has a name below it, by which a
    /// leader is told of.
    pub host: String,
    /// What models cost.
    #[serde(default)]
    pub prices: Vec<ModelPrice>,
}

impl LeaseSettings {
    /// Whether it can work at all.
    pub fn check(&self) -> anyhow::Result<()> {
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        ensure!(self.host.len() <= 253 && self.host.split('.').all(label), "host: {:?} is no name of a Service", self.host);
        self.prices().map(|_| ())
    }

    /// The list of prices.
    pub fn prices(&self) -> anyhow::Result<Prices> {
        Prices::new(self.prices.clone()).context("prices")
    }

    /// Where a replica of this address is found: below a headless Service, each address has a name (the Kubernetes DNS
    /// specification, 2.4.1, and `CoreDNS`), and so a certificate for it.
    pub fn address(&self, ip: IpAddr, port: u16) -> String {
        let name = ip.to_string().replace(['.', ':'], "-");
        format!("https://{name}.{}:{port}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_found_by_the_name_of_its_address() {
        let settings = LeaseSettings { tls: "/tls".into(), host: "showrunner.media.svc".into(), prices: Vec::new() };
        let address = |ip: &str| settings.address(ip.parse().unwrap(), 8444);
        assert_eq!(address("10.1.2.3"), "https://10-1-2-3.showrunner.media.svc:8444");
        assert_eq!(address("fd00::7"), "https://fd00--7.showrunner.media.svc:8444");
    }

    #[test]
    fn mistakes_are_named_with_their_field() {
        let base = LeaseSettings { tls: "/tls".into(), host: "showrunner.media.svc".into(), prices: Vec::new() };
        base.check().unwrap();
        let price = |text: &str| serde_json::from_str::<ModelPrice>(text);
        let free = price(r#"{"provider":"a","model":"b"}"#).unwrap();
        for (settings, expected) in [
            (LeaseSettings { host: "a b".into(), ..base.clone() }, "host"),
            (LeaseSettings { prices: vec![free], ..base.clone() }, "a/b"),
        ] {
            assert!(format!("{:#}", settings.check().unwrap_err()).contains(expected));
        }
        assert!(price(r#"{"provider":"a","model":"b","inputPer1M":"0.1.2"}"#).is_err());
        assert!(price(r#"{"provider":"a","model":"b","inputPer1K":"1"}"#).is_err(), "a misspelt price is not a missing one");
    }
}
