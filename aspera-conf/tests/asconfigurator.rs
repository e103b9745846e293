//! Lines of `asconfigurator`, each with what it does to a file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test set-up")]

use aspera_conf::{Command, Conf, Error, Verb};

/// A file that has a bit of everything.
const START: &str = include_str!("files/start.conf");

/// What a line does.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Afterwards this stands in the file, and what stood there before stays.
    Adds(&'static str),
    /// The first is replaced by the second; nothing else changes.
    Swaps(&'static str, &'static str),
    /// Nothing: it says so already.
    Nothing,
    /// It prints these lines, `NAME=VALUE`; `-` is a value that is not set.
    Prints(&'static str),
    /// It fails with a message that has this part.
    Fails(&'static str),
}
use Does::{Adds, Fails, Nothing, Prints, Swaps};

const LINES: &[(&str, Does)] = &[
    (
        "set_node_data;group_ownership,-",
        Adds("<group_ownership>-</group_ownership>"),
    ),
    (
        "set_node_data;canonical_absolute,/srv/empty; absolute,/srv/empty",
        Adds("<canonical_absolute>/srv/empty</canonical_absolute>"),
    ),
    (
        "set_node_data;absolute,/data",
        Swaps("<absolute>/srv</absolute>", "<absolute>/data</absolute>"),
    ),
    ("set_node_data;absolute,/srv", Nothing),
    (
        "set_node_data;absolute,",
        Swaps("<absolute>/srv</absolute>", "<absolute></absolute>"),
    ),
    ("set_node_data;absolute,/a,b", Swaps("/srv<", "/a,b<")),
    (
        "set_node_data;absolute,/R&D <new>",
        Swaps("/srv<", "/R&amp;D &lt;new&gt;<"),
    ),
    (
        "node;read_allowed,no",
        Adds("<read_allowed>false</read_allowed>"),
    ),
    (
        "set_node_data;write_allowed,TRUE;",
        Adds("<write_allowed>true</write_allowed>"),
    ),
    ("set_node_data", Nothing),
    (
        "set_user_data;user_name,alice;absolute,/home/$(name);read_allowed,true;write_allowed,false",
        Adds("<absolute>/home/$(name)</absolute>"),
    ),
    (
        "user;user_name,alice;dir_allowed,false",
        Adds("<name>alice</name>"),
    ),
    ("set_user_data;user_name,xfer", Nothing),
    (
        "set_user_data;user_name,new one",
        Adds("<name>new one</name>"),
    ),
    (
        "set_user_data;user_name,xfer;absolute,AS_NULL;file_restriction,|*",
        Adds("<restriction>*</restriction>"),
    ),
    (
        "set_user_data;user_name,xfer;authorization_transfer_in_value,token;authorization_transfer_out_value,token",
        Adds("<value>token</value>"),
    ),
    (
        "set_user_data;user_name,xfer;transfer_in_bandwidth_flow_target_rate_cap,9000",
        Swaps("<cap>5000</cap>", "<cap>9000</cap>"),
    ),
    (
        "set_user_data;user_name,xfer;transfer_in_bandwidth_flow_target_rate_cap,unlimited",
        Swaps("<cap>5000</cap>", "<cap>Unlimited</cap>"),
    ),
    (
        "set_user_data;user_name,xfer;file_restriction,|file:///data/*|s3://b/*|!*.tmp",
        Adds("<restriction>s3://b/*</restriction>"),
    ),
    ("set_user_data;user_name,nobody;absolute,AS_NULL", Nothing),
    (
        "set_group_data;group_name,admin;precedence,0",
        Swaps("<precedence>5</precedence>", "<precedence>0</precedence>"),
    ),
    (
        "set_group_data;group_name,admin;precedence,0.5",
        Swaps("<precedence>5</precedence>", "<precedence>0.5</precedence>"),
    ),
    (
        "group;group_name,staff;transfer_out_bandwidth_flow_policy_default,low",
        Adds("<default>low</default>"),
    ),
    (
        "set_trunk_data;id,108;trunk_name,50Mbps cap;trunk_capacity,50000;trunk_on,true",
        Adds("<schedule>50000</schedule>"),
    ),
    (
        "set_trunk_data;id,7;trunk_on,false",
        Swaps("<on>true</on>", "<on>false</on>"),
    ),
    (
        "trunk;id,7;trunk_mcast_port,55001",
        Adds("<mcast_port>55001</mcast_port>"),
    ),
    (
        "set_node_data;transfer_in_bandwidth_aggregate_trunk_id,108",
        Adds("<trunk_id>108</trunk_id>"),
    ),
    (
        "set_node_data;transfer_out_bandwidth_aggregate_trunk_id,disabled",
        Adds("<trunk_id>Disabled</trunk_id>"),
    ),
    (
        "set_server_data;server_name,host.example;activity_logging,true;files_cache_ttl,0",
        Adds("<files_cache_ttl>0</files_cache_ttl>"),
    ),
    (
        "server;watchd_scan_period,1h 30m",
        Adds("<scan_period>1h 30m</scan_period>"),
    ),
    (
        "set_http_server_data;enable_https,true;https_port,8443",
        Adds("<https_port>8443</https_port>"),
    ),
    (
        "set_server_data;ssl_protocol,tlsv1.2",
        Adds("<ssl_protocol>tlsv1.2</ssl_protocol>"),
    ),
    (
        "set_server_data;ssl_ciphers,A:B:!C",
        Adds("<ssl_ciphers>A:B:!C</ssl_ciphers>"),
    ),
    (
        "set_central_server_data;persistent_store_max_age,Unlimited",
        Adds("<persistent_store_max_age>Unlimited<"),
    ),
    (
        "set_central_server_data;address,127.0.0.1",
        Adds("<address>127.0.0.1</address>"),
    ),
    ("set_database_data;port,4406", Adds("<port>4406</port>")),
    (
        "set_client_data;transport_cipher,aes-256-gcm",
        Adds("<encryption_cipher>aes-256-gcm</encryption_cipher>"),
    ),
    (
        "set_logging_data;classes,web;level,dbg1",
        Adds("<level>dbg1</level>"),
    ),
    (
        "set_node_data;symbolic_links,create,follow",
        Adds("<symbolic_links>create,follow</symbolic_links>"),
    ),
    (
        "set_node_data;pvcl_multi_session_wait_for_start,40:2,80:10",
        Adds("<wait_for_start>40:2,80:10</wait_for_start>"),
    ),
    (
        "set_node_data;async_session_timeout,20",
        Adds("<async_session_timeout>20</async_session_timeout>"),
    ),
    (
        "set_node_data;async_db_dir,/var/sync",
        Adds("<async_db_dir>/var/sync</async_db_dir>"),
    ),
    (
        "set_node_data;file_create_mode,0640",
        Adds("<file_create_mode>0640</file_create_mode>"),
    ),
    (
        "set_node_data;partial_file_suffix,",
        Adds("<partial_file_suffix></partial_file_suffix>"),
    ),
    (
        "set_node_data;token_encryption_key,AS_NULL",
        Swaps(
            "\n    <authorization>\n      <token>\n        <encryption_key>s3cret</encryption_key>\n      </token>\n    </authorization>",
            "",
        ),
    ),
    (
        "set_node_data;docroot_mask,/srv;write_allowed,false",
        Adds("<write_allowed>false</write_allowed>"),
    ),
    (
        "set_node_data;docroot_mask,/other;write_allowed,false",
        Adds("<absolute>/other</absolute>"),
    ),
    ("delete_user;user_name,xfer", Swaps(XFER, "")),
    ("delete_trunk;id,7", Swaps(TRUNK, "")),
    ("delete_group;group_name,nobody", Fails("no group 'nobody'")),
    (
        "get_node_data",
        Prints("token_encryption_key=[redacted] absolute=/srv"),
    ),
    (
        "get_node_data;option_mask,read_allowed",
        Prints("read_allowed=-"),
    ),
    (
        "get_user_data;user_name,xfer;option_mask,transfer_in_bandwidth_flow_target_rate_cap",
        Prints("transfer_in_bandwidth_flow_target_rate_cap=5000"),
    ),
    ("get_trunk_data;id,7", Prints("id=7 trunk_on=true")),
    ("get_user_data;user_name,nobody", Fails("no user 'nobody'")),
    (
        "get_server_data;option_mask,servername",
        Fails("no option 'servername'"),
    ),
    ("set_node_data;no_such,1", Fails("no option 'no_such'")),
    (
        "set_node_data;server_name,x",
        Fails("no option 'server_name' in 'default'"),
    ),
    (
        "set_node_data;read_allowed,maybe",
        Fails("should be true or false"),
    ),
    (
        "set_node_data;absolute,/ok;transfer_in_bandwidth_flow_target_rate_cap,10M",
        Fails("'10M' is no value"),
    ),
    (
        "set_node_data;transfer_in_bandwidth_flow_policy_default,fast",
        Fails("one of: fixed, high, fair"),
    ),
    (
        "set_node_data;token_encryption_type,hunter2",
        Fails("one of: aes-128"),
    ),
    (
        "set_http_server_data;https_port,70000",
        Fails("from 1 to 65535"),
    ),
    (
        "set_node_data;file_create_mode,0999",
        Fails("permission bits"),
    ),
    ("set_trunk_data;id,256;trunk_on,true", Fails("not named")),
    ("set_trunk_data;trunk_on,true", Fails("not named")),
    ("set_user_data;absolute,/x", Fails("not named")),
    (
        "set_user_data;user_name,xfer;name,other",
        Fails("keeps its name"),
    ),
    (
        "set_group_data;group_name,admin;precedence,-1",
        Fails("at least 0"),
    ),
    (
        "set_node_data;absolute",
        Fails("a comma and a value are missing"),
    ),
    ("set_nodes_data;absolute,/x", Fails("no command")),
    ("delete_node", Fails("no command")),
    (
        "delete_user;user_name,xfer;absolute,/",
        Fails("nothing follows"),
    ),
    ("", Fails("no command")),
];

const XFER: &str = "\n  <aaa><realms><realm>\n    <users>\n      <user> <!-- the drop box -->\n        <name>xfer</name>\n        <transfer><in><bandwidth><flow><target_rate><cap>5000</cap></target_rate></flow></bandwidth></in></transfer>\n      </user>\n    </users>";
const TRUNK: &str =
    "\n  <trunks>\n    <trunk>\n      <id>7</id>\n      <on>true</on>\n    </trunk>\n  </trunks>";

fn run(line: &str, conf: &mut Conf) -> Result<String, Error> {
    let command = Command::parse(line)?;
    if command.verb != Verb::Get {
        return conf.apply(&command).map(|_| String::new());
    }
    let mask = command.assignments.first().map(|mask| &*mask.value);
    let lines = conf.report(&command.record, mask)?;
    let text = lines
        .iter()
        .map(|line| format!("{}={}", line.name, line.value.as_deref().unwrap_or("-")));
    Ok(text.collect::<Vec<_>>().join(" "))
}

#[test]
fn each_line_does_what_it_says_and_nothing_else() {
    assert!(LINES.len() >= 60);
    for (line, does) in LINES {
        let mut conf = Conf::parse(START.as_bytes()).unwrap();
        let result = run(line, &mut conf);
        match *does {
            Fails(part) => {
                let error = result.expect_err(line);
                assert!(error.to_string().contains(part), "{line}: {error}");
                assert!(error.hint().is_some(), "{line}: no hint");
                assert_eq!(conf.text(), START, "{line}");
            }
            Prints(text) => {
                assert_eq!(result.expect(line), text);
                assert_eq!(conf.text(), START, "{line}");
            }
            Nothing => {
                result.expect(line);
                assert_eq!(conf.text(), START, "{line}");
            }
            Swaps(old, new) => {
                result.expect(line);
                assert!(START.contains(old), "{line}");
                let wanted = match new {
                    // The way to the group stays.
                    "" if old == XFER => START.replacen(old, "\n  <aaa><realms><realm>", 1),
                    new => START.replacen(old, new, 1),
                };
                assert_eq!(conf.text(), wanted, "{line}");
            }
            Adds(part) => {
                result.expect(line);
                assert!(conf.text().contains(part), "{line}\n{}", conf.text());
                // Every comment and every foreign element is still there.
                for kept in [
                    "<!-- site settings -->",
                    "<!-- the drop box -->",
                    "<custom a=\"1\">kept</custom>",
                    "<WEB SshPort=\"33001\"/>",
                ] {
                    assert!(conf.text().contains(kept), "{line}: {kept}");
                }
                let mut again = conf.clone();
                run(line, &mut again).unwrap();
                assert_eq!(again.text(), conf.text(), "{line} twice");
            }
        }
    }
}

#[test]
fn lines_work_on_the_smallest_file_too() {
    for (line, does) in LINES {
        if !matches!(does, Adds(_)) {
            continue;
        }
        let mut conf = Conf::parse(b"<CONF/>").unwrap();
        run(line, &mut conf).unwrap();
        let errors = aspera_conf::check(&conf);
        let errors: Vec<_> = errors
            .iter()
            .filter(|f| f.severity() > aspera_conf::check::Severity::Warning)
            .collect();
        // Asking for tokens without a key is a mistake of the line itself.
        assert!(
            errors.is_empty() || line.contains("token"),
            "{line}: {errors:?}"
        );
    }
}

#[test]
fn a_secret_is_never_part_of_an_error() {
    let mut conf = Conf::new();
    let error = run("set_node_data;token_encryption_key,hunter2\u{7}", &mut conf).unwrap_err();
    assert!(error.to_string().contains("[redacted]"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
